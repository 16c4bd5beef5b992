!> ln_rhs: read states record by record, evaluate every term of the right-hand side once, write the trends, stop.
module rhsmod
   use par_kind, only: wp, dp
   use par_oce, only: jp_tem
   use dom_oce, only: rn_Dt, umask, vmask
   use oce, only: uu, vv, e3t, ts, Nbb, Nnn, Naa, Nrhs
   use istate, only: istate_land
   use dome3, only: dom_e3
   use thkadv, only: thk_adv
   use sbcmod, only: sbc
   use stpmod, only: stp_rhs
   use trd, only: trd_open, trd_begin, trd_close
   use lbclnk, only: lbc_lnk, jpfillnothing
   use iomget, only: iom_open, iom_has, iom_get, iom_nrec, iom_get_time, iom_shut
   use in_out_manager, only: lc, lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: rhs_init, rhs_run

   logical, public :: ln_rhs = .false.             !< only evaluate right-hand sides
   character(len=lc) :: cn_rhs_in = 'states.nc'    ! states
   character(len=lc) :: cn_rhs_out = 'trends.nc'   ! trends, 64 bit

contains

   !> Read &namrhs.
   subroutine rhs_init()
      namelist /namrhs/ ln_rhs, cn_rhs_in, cn_rhs_out
      integer :: ios
      do while (nam_next('namrhs'))
         read (cnam, namrhs, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
   end subroutine rhs_init

   !> Evaluate all records: vozocrtx, vomecrty, thkcello, sosstsst are the now level, the same names with _b, if all are there,
   !! the before level, one step earlier. Without it friction, drag and pressure use the now state throughout.
   subroutine rhs_run(krec)
      integer, intent(out) :: krec   !< number of records
      integer :: id, jr
      logical :: ll_before

      call iom_open(cn_rhs_in, id, 'It was named by '//nam_where('namrhs', 'cn_rhs_in')//'.')
      krec = iom_nrec(id, 'vozocrtx')
      ll_before = all([iom_has(id, 'vozocrtx_b'), iom_has(id, 'vomecrty_b'), iom_has(id, 'thkcello_b'), iom_has(id, &
      &  'sosstsst_b')])
      if (lwp) write (numout, '(3a,i0,a,l1)') ' rhs_run: ', trim(cn_rhs_in), ', records ', krec, ', with before level: ', &
      &  ll_before
      call trd_open(cn_rhs_out, .true.)
      do jr = 1, krec
         call read_level(id, jr, ' ', Nnn)
         if (ll_before) then
            call read_level(id, jr, '_b', Nbb)
         else
            call copy_level(Nnn, Nbb)
         end if
         call trd_begin(jr, iom_get_time(id, jr))
         call sbc(nint(iom_get_time(id, jr)/real(rn_Dt, dp)) + 1)
         call dom_e3(Nnn)
         if (ll_before) then
            call thk_adv(Nbb, Naa)
         else
            e3t(:, :, :, Naa) = e3t(:, :, :, Nnn)
         end if
         call stp_rhs(Nbb, Nnn, Naa, Nrhs)
      end do
      call trd_close()
      call iom_shut(id)
   end subroutine rhs_run

   subroutine read_level(kid, krec, cdlev, Kt)
      integer, intent(in) :: kid, krec
      character(len=*), intent(in) :: cdlev   !< blank or _b
      integer, intent(in) :: Kt
      call iom_get(kid, 'vozocrtx'//trim(cdlev), uu(:, :, :, Kt), krec)
      call iom_get(kid, 'vomecrty'//trim(cdlev), vv(:, :, :, Kt), krec)
      call iom_get(kid, 'thkcello'//trim(cdlev), e3t(:, :, :, Kt), krec)
      call iom_get(kid, 'sosstsst'//trim(cdlev), ts(:, :, :, jp_tem, Kt), krec)
      call lbc_lnk('rhs_run', uu(:, :, :, Kt), 'U', -1._wp, vv(:, :, :, Kt), 'V', -1._wp, e3t(:, :, :, Kt), 'T', 1._wp, &
      &            ts(:, :, :, jp_tem, Kt), 'T', 1._wp, kfillmode=jpfillnothing)
      call istate_land(Kt)
      where (.not. umask > 0._wp) uu(:, :, :, Kt) = 0._wp
      where (.not. vmask > 0._wp) vv(:, :, :, Kt) = 0._wp
   end subroutine read_level

   subroutine copy_level(Kfrom, Kto)
      integer, intent(in) :: Kfrom, Kto
      uu(:, :, :, Kto) = uu(:, :, :, Kfrom)
      vv(:, :, :, Kto) = vv(:, :, :, Kfrom)
      e3t(:, :, :, Kto) = e3t(:, :, :, Kfrom)
      ts(:, :, :, :, Kto) = ts(:, :, :, :, Kfrom)
   end subroutine copy_level
end module rhsmod
