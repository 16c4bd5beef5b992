!> Restarts: one file of the whole grid, independent of the number of ranks; a run continued from it has the same bits.
module restart
   use netcdf, only: nf90_put_att, NF90_GLOBAL
   use par_kind, only: wp, dp
   use par_oce, only: jp_tem
   use dom_oce, only: rn_Dt, ln_1st_euler, l_1st_euler, umask, vmask
   use oce, only: uu, vv, e3t, ts
   use istate, only: istate_land
   use daymod, only: day_of
   use lbclnk, only: lbc_lnk, jpfillnothing
   use iom, only: t_iom, iom_create, iom_def, iom_enddef, iom_put, iom_put2d, iom_close, iom_rename, iom_check
   use iomget, only: iom_open, iom_has, iom_get, iom_get_att, iom_shut
   use lib_mpp, only: ctl_stop, mpprank
   use timing, only: timing_start, timing_stop, jptim_rst
   use in_out_manager, only: lc, lwp, numout, cn_exp, nn_it000, nn_itend, nn_stock, nn_rstctl, cn_ocerst_in
   use namread, only: nam_where
   implicit none
   private
   public :: rst_read, rst_write

contains

   !> Write a restart every nn_stock steps and at the end: under another name first, so that a file with the right name is whole.
   subroutine rst_write(kt, Kbb, Kmm)
      integer, intent(in) :: kt, Kbb, Kmm   !< step that has ended, and the time levels after it
      type(t_iom) :: file
      character(len=lc) :: clname
      integer :: idate, isec, iday
      logical :: ll

      ll = kt == nn_itend
      if (nn_stock > 0) ll = ll .or. mod(kt, max(nn_stock, 1)) == 0
      if (.not. ll) return
      call timing_start(jptim_rst)
      write (clname, '(2a,i8.8,a)') trim(cn_exp), '_', kt, '_restart.nc'
      call iom_create(file, trim(clname)//'.tmp', 'restart', .false., .false., .true.)
      call iom_def(file, 'ub', 'U', .true., ' ', 'velocity along i, before', 'm s-1', ' ')
      call iom_def(file, 'un', 'U', .true., ' ', 'velocity along i, now', 'm s-1', ' ')
      call iom_def(file, 'vb', 'V', .true., ' ', 'velocity along j, before', 'm s-1', ' ')
      call iom_def(file, 'vn', 'V', .true., ' ', 'velocity along j, now', 'm s-1', ' ')
      call iom_def(file, 'e3t_b', 'T', .true., ' ', 'layer thickness, before', 'm', ' ')
      call iom_def(file, 'e3t_n', 'T', .true., ' ', 'layer thickness, now', 'm', ' ')
      call iom_def(file, 'tb', 'T', .false., ' ', 'temperature of layer 1, before', 'degC', ' ')
      call iom_def(file, 'tn', 'T', .false., ' ', 'temperature of layer 1, now', 'degC', ' ')
      call day_of(kt, idate, isec, iday)
      if (mpprank == 0) then
         call iom_check(nf90_put_att(file%ncid, NF90_GLOBAL, 'kt', real(kt, dp)), 'write', file%path)
         call iom_check(nf90_put_att(file%ncid, NF90_GLOBAL, 'rdt', real(rn_Dt, dp)), 'write', file%path)
         call iom_check(nf90_put_att(file%ncid, NF90_GLOBAL, 'ndastp', real(idate, dp)), 'write', file%path)
         call iom_check(nf90_put_att(file%ncid, NF90_GLOBAL, 'nsec_day', real(isec, dp)), 'write', file%path)
      end if
      call iom_enddef(file)
      call iom_put(file, 'ub', uu(:, :, :, Kbb))
      call iom_put(file, 'un', uu(:, :, :, Kmm))
      call iom_put(file, 'vb', vv(:, :, :, Kbb))
      call iom_put(file, 'vn', vv(:, :, :, Kmm))
      call iom_put(file, 'e3t_b', e3t(:, :, :, Kbb))
      call iom_put(file, 'e3t_n', e3t(:, :, :, Kmm))
      call iom_put2d(file, 'tb', ts(:, :, 1, jp_tem, Kbb))
      call iom_put2d(file, 'tn', ts(:, :, 1, jp_tem, Kmm))
      call iom_close(file, .true.)
      call iom_rename(trim(clname)//'.tmp', clname)
      if (lwp) write (numout, '(2a)') ' rst_write: ', trim(clname)
      call timing_stop(jptim_rst)
   end subroutine rst_write

   !> Read cn_ocerst_in; a file without before fields (made by hand) starts with a forward step.
   subroutine rst_read(Kbb, Kmm)
      integer, intent(in) :: Kbb, Kmm   !< time levels
      integer :: id
      logical :: ll_before

      call iom_open(cn_ocerst_in, id, 'It was named by '//nam_where('namrun', 'cn_ocerst_in')//'.')
      if (nn_rstctl /= 0) call rst_time(id)
      ll_before = iom_has(id, 'ub')
      l_1st_euler = ln_1st_euler .or. .not. ll_before
      call rst_level(id, 'n', Kmm)
      if (ll_before) call rst_level(id, 'b', Kbb)
      call iom_shut(id)
      if (lwp) write (numout, '(3a,l1)') ' rst_read: ', trim(cn_ocerst_in), ', forward first step: ', l_1st_euler
   end subroutine rst_read

   !> Read one time level and make its halos valid.
   subroutine rst_level(kid, cdlev, Kt)
      integer, intent(in) :: kid
      character(len=1), intent(in) :: cdlev   !< b or n
      integer, intent(in) :: Kt               !< time level
      call iom_get(kid, 'u'//cdlev, uu(:, :, :, Kt), 1)
      call iom_get(kid, 'v'//cdlev, vv(:, :, :, Kt), 1)
      call iom_get(kid, 'e3t_'//cdlev, e3t(:, :, :, Kt), 1)
      call iom_get(kid, 't'//cdlev, ts(:, :, :, jp_tem, Kt), 1)
      call lbc_lnk('rst_read', uu(:, :, :, Kt), 'U', -1._wp, vv(:, :, :, Kt), 'V', -1._wp, e3t(:, :, :, Kt), 'T', 1._wp, &
      &            ts(:, :, :, jp_tem, Kt), 'T', 1._wp, kfillmode=jpfillnothing)
      call istate_land(Kt)
      uu(:, :, :, Kt) = uu(:, :, :, Kt)*umask
      vv(:, :, :, Kt) = vv(:, :, :, Kt)*vmask
   end subroutine rst_level

   !> The run must go on where the restart ends.
   subroutine rst_time(kid)
      integer, intent(in) :: kid
      integer :: ikt, idate, isec, iday
      character(len=200) :: cl1
      ikt = nint(iom_get_att(kid, 'kt'))
      if (ikt + 1 /= nn_it000) then
         write (cl1, '(3a,i0,a,i0,a)') "restart '", trim(cn_ocerst_in), "' was written after step ", ikt, &
         &  ', the run asks to begin with step ', nn_it000, '.'
         call ctl_stop(cl1, nam_where('namrun', 'nn_it000'), 'Set nn_it000 to the step after the restart, or nn_rstctl = 0 '// &
         &  'to begin a new experiment from this state.')
      end if
      if (abs(iom_get_att(kid, 'rdt') - real(rn_Dt, dp)) > 1.e-6_dp*real(rn_Dt, dp)) then
         write (cl1, '(3a,f0.3,a,f0.3,a)') "restart '", trim(cn_ocerst_in), "' has a time step of ", iom_get_att(kid, 'rdt'), &
         &  ' s, the namelist ', rn_Dt, ' s.'
         call ctl_stop(cl1, nam_where('namdom', 'rn_Dt'), &
         &  'With nn_rstctl = 0 and ln_1st_euler = .true. another step may begin here.')
      end if
      call day_of(ikt, idate, isec, iday)
      if (nint(iom_get_att(kid, 'ndastp')) /= idate) then
         write (cl1, '(3a,i0,a,i0,a)') "restart '", trim(cn_ocerst_in), "' is of the day ", nint(iom_get_att(kid, 'ndastp')), &
         &  ', by the namelist this is ', idate, '.'
         call ctl_stop(cl1, nam_where('namrun', 'nn_date0')//', '//nam_where('namrun', 'nn_leapy'), &
         &  'Set nn_date0 and nn_leapy as in the first run, or nn_rstctl = 0.')
      end if
   end subroutine rst_time
end module restart
