!> Initial state: at rest, resting thickness with optional noise, tracer at its restoring temperature.
module istate
   use par_kind, only: wp, dp, i8
   use par_oce, only: jpi, jpj, jpk, jp_tem
   use dom_oce, only: mig, mjg, tmask, e3t_0
   use lbclnk, only: lbc_lnk, jpfillnothing
   use oce, only: uu, vv, e3t, ts, Nnn
   use usrdef, only: rn_pert, nn_seed
   use sbcmod, only: tstar
   implicit none
   private
   public :: istate_init, istate_land

contains

   !> Set all time levels.
   subroutine istate_init()
      integer :: ji, jj, jk
      uu(:, :, :, :) = 0._wp
      vv(:, :, :, :) = 0._wp
      do jk = 1, jpk
         e3t(:, :, jk, Nnn) = e3t_0(jk)
         if (.not. abs(rn_pert) > 0._wp) cycle
         do jj = 1, jpj
            do ji = 1, jpi
               if (tmask(ji, jj, jk) > 0._wp) e3t(ji, jj, jk, Nnn) = e3t_0(jk) + rn_pert*noise(mig(ji), mjg(jj), jk)
            end do
         end do
      end do
      ts(:, :, 1, jp_tem, Nnn) = tstar*tmask(:, :, 1)
      call lbc_lnk('istate', e3t(:, :, :, Nnn), 'T', 1._wp, ts(:, :, :, jp_tem, Nnn), 'T', 1._wp, kfillmode=jpfillnothing)
      do jk = 1, size(ts, 5)
         e3t(:, :, :, jk) = e3t(:, :, :, Nnn)
         ts(:, :, :, :, jk) = ts(:, :, :, :, Nnn)
      end do
   end subroutine istate_init

   !> Give land cells of one level the resting thickness and no tracer: files may hold anything there.
   subroutine istate_land(Kt)
      integer, intent(in) :: Kt   !< time level
      integer :: jk
      do jk = 1, jpk
         where (.not. tmask(:, :, jk) > 0._wp) e3t(:, :, jk, Kt) = e3t_0(jk)
      end do
      where (.not. tmask(:, :, 1) > 0._wp) ts(:, :, 1, jp_tem, Kt) = 0._wp
   end subroutine istate_land

   !> A number in [-1, 1] that depends on the global cell, the layer and the seed only (Park-Miller generator).
   pure real(wp) function noise(ki, kj, kk)
      integer, intent(in) :: ki, kj, kk
      integer(i8), parameter :: jpm = 2147483647_i8
      integer(i8) :: ix
      integer :: jn
      ix = 1_i8 + modulo(int(nn_seed, i8)*7919_i8 + int(kk, i8)*104729_i8 + int(kj, i8)*15485863_i8 + int(ki, &
      &  i8)*32452843_i8, jpm - 1_i8)
      do jn = 1, 4
         ix = modulo(ix*16807_i8, jpm)
      end do
      noise = real(2._dp*real(ix, dp)/real(jpm, dp) - 1._dp, wp)
   end function noise
end module istate
