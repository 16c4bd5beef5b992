!> Checks after every step, and the statistics of run.stat.
module stpctl
   use par_kind, only: wp, dp
   use par_oce, only: jpi, jpj, jpk, jp_tem, Ni0glo, Nj0glo, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: mig, mjg, rn_hmin
   use oce, only: uu, vv, e3t, ts
   use usrdef, only: usr_def_wet
   use lbcnfd, only: nfd_copy
   use sbcmod, only: rn_rho0
   use daymod, only: day_of
   use lib_mpp, only: ctl_stop, mpp_gather
   use in_out_manager, only: lwp, numout, nn_stat, nn_itend
   implicit none
   private
   public :: stp_ctl, stp_ctl_close

   integer :: numstat = -1
   real(wp), allocatable :: zgu(:, :), zgv(:, :), zgh(:, :)   ! a layer of the whole grid, on rank 0

contains

   !> Stop when a field is not finite or a layer is thinner than rn_hmin; write a line of run.stat every nn_stat steps.
   subroutine stp_ctl(kt, Kmm)
      integer, intent(in) :: kt, Kmm   !< step that has ended, now level
      integer :: jk, ibad

      ibad = 0
      do jk = 1, jpk
         ibad = ibad + bad(uu(:, :, jk, Kmm), -huge(1._wp)) + bad(vv(:, :, jk, Kmm), -huge(1._wp)) + bad(e3t(:, :, jk, Kmm), &
         &  rn_hmin)
      end do
      ibad = ibad + bad(ts(:, :, 1, jp_tem, Kmm), -huge(1._wp))
      if (ibad > 0) call blame(kt, Kmm)
      if (nn_stat > 0) then
         if (mod(kt, nn_stat) == 0 .or. kt == nn_itend) call statistics(kt, Kmm)
      end if
   end subroutine stp_ctl

   !> Number of interior values that are below pmin or not finite.
   pure integer function bad(ptab, pmin)
      real(wp), intent(in) :: ptab(jpi, jpj)
      real(wp), intent(in) :: pmin
      integer :: ji, jj
      bad = 0
      do jj = Njs0, Nje0
         do ji = Nis0, Nie0
            bad = bad + merge(0, 1, ptab(ji, jj) >= pmin .and. ptab(ji, jj) <= huge(1._wp))
         end do
      end do
   end function bad

   !> Name the first bad value of this rank and stop.
   subroutine blame(kt, Kmm)
      integer, intent(in) :: kt, Kmm
      integer :: jk
      do jk = 1, jpk
         call look(kt, jk, 'velocity along i (uu) [m s-1]', uu(:, :, jk, Kmm), -huge(1._wp))
         call look(kt, jk, 'velocity along j (vv) [m s-1]', vv(:, :, jk, Kmm), -huge(1._wp))
         call look(kt, jk, 'layer thickness (e3t) [m]', e3t(:, :, jk, Kmm), rn_hmin)
      end do
      call look(kt, 1, 'temperature (ts) [degC]', ts(:, :, 1, jp_tem, Kmm), -huge(1._wp))
   end subroutine blame

   subroutine look(kt, kk, cdname, ptab, pmin)
      integer, intent(in) :: kt, kk
      character(len=*), intent(in) :: cdname
      real(wp), intent(in) :: ptab(jpi, jpj)
      real(wp), intent(in) :: pmin
      integer :: ji, jj, idate, isec, iday
      character(len=160) :: cl1, cl2, cl3
      if (bad(ptab, pmin) == 0) return
      do jj = Njs0, Nje0
         do ji = Nis0, Nie0
            if (ptab(ji, jj) >= pmin .and. ptab(ji, jj) <= huge(1._wp)) cycle
            call day_of(kt, idate, isec, iday)
            write (cl1, '(2a,3(i0,a),i0,a,i8.8,a)') cdname, ' at (i,j,k) = (', mig(ji), ',', mjg(jj), ',', kk, &
            &  ') in step kt = ', kt, &
            &  ', date ', idate, ':'
            if (abs(ptab(ji, jj)) <= huge(1._wp)) then
               write (cl2, '(a,es12.4,a,es11.4)') 'the layer outcrops: it is ', ptab(ji, jj), &
               &  ', the least allowed (rn_hmin) is ', pmin
               cl3 = 'Weaker wind, thicker layers or more friction keep it.'
            else
               write (cl2, '(a,es12.4,a)') 'the value ', ptab(ji, jj), ' is not finite: the run blew up.'
               cl3 = 'A shorter time step (rn_Dt) or more friction (rn_cs4) keeps it.'
            end if
            call ctl_stop(cl1, cl2, cl3)
         end do
      end do
   end subroutine look

   !> One line: step, date, max |u|, mean kinetic energy of each layer and of all, least thickness. Summed on rank 0 in the order
   !! of the grid: the same bits for any number of ranks. Never fed back.
   subroutine statistics(kt, Kmm)
      integer, intent(in) :: kt, Kmm
      integer :: jk, ji, jj, iw, idate, isec, iday, inum
      real(dp) :: zke(jpk), zall, zumax, zhmin, zk

      if (.not. allocated(zgu)) call open_stat()
      zke(:) = 0._dp
      zall = 0._dp; zumax = 0._dp; zhmin = huge(1._dp)
      do jk = 1, jpk
         call mpp_gather(uu(:, :, jk, Kmm), zgu)
         call mpp_gather(vv(:, :, jk, Kmm), zgv)
         call mpp_gather(e3t(:, :, jk, Kmm), zgh)
         if (.not. lwp) cycle
         inum = 0
         do jj = 2, Nj0glo
            do ji = 1, Ni0glo
               if (.not. usr_def_wet(ji, jj) .or. nfd_copy('T', ji, jj)) cycle
               iw = merge(Ni0glo, ji - 1, ji == 1)
               zk = 0.25_dp*((real(zgu(ji, jj), dp)**2 + real(zgu(iw, jj), dp)**2) &
               &           + (real(zgv(ji, jj), dp)**2 + real(zgv(ji, jj - 1), dp)**2))
               inum = inum + 1
               zke(jk) = zke(jk) + zk
               zall = zall + zk*real(zgh(ji, jj), dp)
               zumax = max(zumax, abs(real(zgu(ji, jj), dp)), abs(real(zgv(ji, jj), dp)))
               zhmin = min(zhmin, real(zgh(ji, jj), dp))
            end do
         end do
         zke(jk) = zke(jk)/real(inum, dp)
         if (jk == jpk) zall = real(rn_rho0, dp)*zall/real(inum, dp)
      end do
      if (.not. lwp) return
      call day_of(kt, idate, isec, iday)
      write (numstat, '(i10,2x,i8.8,i7,*(es25.16))') kt, idate, isec, zumax, zke, zall, zhmin
      write (numout, '(a,i0,a,i8.8,a,f8.4,a,es11.4,a,f9.2)') ' it = ', kt, '  date ', idate, '  max |u| ', zumax, &
      &  ' m s-1  KE ', zall, ' J m-2  min h ', zhmin
      flush (numstat)
      flush (numout)
   end subroutine statistics

   subroutine open_stat()
      integer :: jk
      if (.not. lwp) then
         allocate (zgu(1, 1), zgv(1, 1), zgh(1, 1))
         return
      end if
      allocate (zgu(Ni0glo, Nj0glo), zgv(Ni0glo, Nj0glo), zgh(Ni0glo, Nj0glo))
      open (newunit=numstat, file='run.stat', status='replace', action='write')
      write (numstat, '(a)', advance='no') '# it  date[yyyymmdd]  second_of_day  max|u|[m/s]'
      do jk = 1, jpk
         write (numstat, '(a,i0,a)', advance='no') '  KE', jk, '[m2/s2]'
      end do
      write (numstat, '(a)') '  KE[J/m2]  min_h[m]'
   end subroutine open_stat

   !> Close run.stat.
   subroutine stp_ctl_close()
      if (numstat /= -1) close (numstat)
   end subroutine stp_ctl_close
end module stpctl
